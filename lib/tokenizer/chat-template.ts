// A model's chat template: Jinja source that makes one text of a list of messages, and marks in it
// what the assistant says where the template has {% generation %}.
import { createRequire } from "node:module";

// The package's own declaration file does not compile here (imports without extensions).
const { Template } = createRequire(import.meta.url)("@huggingface/jinja") as {
  Template: new (source: string) => JinjaTemplate;
};
interface JinjaTemplate {
  render(variables: Record<string, unknown>): string;
}

/** Start and end in a text, in UTF-16 units. */
export type Span = readonly [start: number, end: number];

/** What a template sees besides special tokens. */
export interface ChatVariables {
  messages: readonly Readonly<Record<string, unknown>>[];
  tools?: readonly unknown[] | undefined;
  addGenerationPrompt?: boolean | undefined;
  /** Further variables; they go before special tokens of the same name. */
  variables?: Readonly<Record<string, unknown>> | undefined;
}

export interface RenderedChat {
  text: string;
  /** What stands inside {% generation %}; undefined for a template without. */
  generated: Span[] | undefined;
}

// Stand for the beginning and the end of what is generated, and are taken out again. Unicode never
// assigns these two.
const [begin, end] = ["\uFDD0", "\uFDD1"];
const marks = /[\uFDD0\uFDD1]/;
const tags = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g;

/**
 * jinja drops {% generation %}; here it becomes a block of its own that writes a mark, with the same
 * whitespace around it.
 */
function withMarks(source: string): string {
  return source.replace(tags, (_, left: string, closing: string | undefined, right: string) => {
    return `{%${left} if true %}${closing ? end : begin}{% endif ${right}%}`;
  });
}

function takeMarks(marked: string): RenderedChat {
  const generated: Span[] = [];
  let [text, start] = ["", 0];
  for (const piece of marked.split(/([\uFDD0\uFDD1])/)) {
    if (piece === begin) start = text.length;
    else if (piece === end) generated.push([start, text.length]);
    else text += piece;
  }
  return { text, generated };
}

// Rows must be the same tomorrow, or a run could not go on: a template that asks for today's date
// always gets the one that Llama 3's falls back on (docs/decisions/0006). jinja's own function of that
// name cannot be replaced, so the template is made to call another.
const dateFunction = "zo2_strftime_now";
const date =
  "%Y=2024 %y=24 %m=07 %d=26 %e=26 %-d=26 %j=208 %B=July %b=Jul %A=Friday %a=Fri %H=00 %M=00 %S=00 %%=%";
const today = new Map(date.split(" ").map((pair) => pair.split("=") as [string, string]));
function strftimeToday(format: string): string {
  return format.replace(/%-?[a-zA-Z%]/g, (directive) => {
    const value = today.get(directive);
    if (value !== undefined) return value;
    throw new Error(`strftime_now does not know ${directive}`);
  });
}

/** As transformers gives messages to templates: no nulls, and one name more for reasoning. */
function plainMessage(message: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const given = Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  );
  const reasoning = given.reasoning_content ?? given.thinking ?? given.reasoning;
  if (reasoning === undefined) return given;
  return { thinking: reasoning, ...given, reasoning_content: reasoning };
}

export class ChatTemplate {
  readonly #template: JinjaTemplate;
  readonly #isMarked: boolean;

  /** @throws Error where the source is not Jinja */
  constructor(
    source: string,
    private readonly specialTokens: Readonly<Record<string, string>>,
  ) {
    this.#template = new Template(withMarks(source).replaceAll("strftime_now", dateFunction));
    this.#isMarked = source.search(tags) >= 0;
  }

  /** @throws Error what the template raises */
  render({ messages, tools, addGenerationPrompt, variables }: ChatVariables): RenderedChat {
    if (this.#isMarked && marks.test(JSON.stringify(messages))) {
      throw new Error("a message holds U+FDD0 or U+FDD1, which stand for something here");
    }
    const marked = this.#template.render({
      ...this.specialTokens,
      [dateFunction]: strftimeToday,
      documents: null,
      ...variables,
      messages: messages.map(plainMessage),
      tools: tools ?? null,
      add_generation_prompt: addGenerationPrompt ?? false,
    });
    return this.#isMarked ? takeMarks(marked) : { text: marked, generated: undefined };
  }
}
