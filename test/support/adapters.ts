// What holds of a run that trains adapters alone, whichever they are.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Test } from "tap";
import { evaluate, exportModel, replay, type TrainConfig, Trainer, train } from "zo2";

const adapterFiles = ["adapter_config.json", "adapter_model.safetensors"];
const files = (directory: string): string[] => readdirSync(directory).sort();
const weights = (directory: string): Buffer =>
  readFileSync(join(directory, "adapter_model.safetensors"));

/**
 * Exports, goes on, replays, and begins again from what was exported: the same files, or others where
 * they must be.
 * @param from what begins from the adapter of a directory
 * @returns places: "whole" and "parts" are runs, "exported" is their adapter
 */
export async function checkAdapterRun(
  t: Test,
  common: Omit<TrainConfig, "output">,
  from: (adapter: string) => Partial<TrainConfig>,
): Promise<(name: string) => string> {
  const dir = t.testdir();
  const at = (name: string): string => join(dir, name);
  await using trainer = new Trainer({ ...common, output: at("whole") });
  await trainer.result;
  await trainer.export(at("exported"));
  const evaluated = await trainer.evaluate();
  t.same(files(at("exported")), adapterFiles);

  await train({ ...common, steps: 2, output: at("parts") });
  t.match(await train({ ...common, output: at("parts") }), { resumedFrom: 2 });
  await exportModel({ run: at("parts"), out: at("exported-parts") });
  const { model } = common;
  await replay({ base: model, journal: join(at("parts"), "journal.ndjson"), out: at("replayed") });
  for (const other of ["exported-parts", "replayed"]) {
    t.same(files(at(other)), adapterFiles);
    t.ok(weights(at(other)).equals(weights(at("exported"))), other);
  }
  t.equal((await evaluate({ run: at("whole") })).loss, evaluated.loss);

  await train({ ...common, ...from(at("exported")), output: at("more") });
  const journal = join(at("more"), "journal.ndjson");
  const request = { base: model, journal, out: at("replayed-more") };
  const message = /began from an adapter; give its directory/;
  await t.rejects(replay(request), { code: "ZO2_INVALID_CONFIG", message });
  await replay({ ...request, adapter: at("exported") });
  await exportModel({ run: at("more"), out: at("exported-more") });
  t.ok(weights(at("exported-more")).equals(weights(at("replayed-more"))));
  t.notOk(weights(at("exported-more")).equals(weights(at("exported"))));
  return at;
}
