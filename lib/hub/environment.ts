// Hugging Face's own settings: the variables that their tools read.
import { homedir } from "node:os";
import { join } from "node:path";
import { invalid } from "../config/problems.js";

/** Where Hugging Face's tools keep what they have downloaded. */
export function hubCache(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  return HF_HUB_CACHE || join(home, "hub");
}

/** The Hub, or a mirror of it; without a slash at its end. */
export function hubUrl(): string {
  return (process.env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
}

/** HF_HUB_OFFLINE: nothing may be asked of the network. */
export function isOffline(): boolean {
  return ["1", "true", "yes", "on"].includes((process.env.HF_HUB_OFFLINE ?? "").toLowerCase());
}

/** @throws Zo2Error ZO2_INVALID_CONFIG; the token is not shown */
export function accessToken(): string | undefined {
  const token = process.env.HF_TOKEN?.trim();
  if (!token) return undefined;
  if (token.startsWith("hf_")) return token;
  throw invalid('HF_TOKEN does not begin with "hf_"; unset it, or set it to an access token');
}
