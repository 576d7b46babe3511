// The page: one file that needs nothing from anywhere else.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Chart } from "./charts.js";
import type { Fact } from "./facts.js";

export interface Page {
  title: string;
  facts: readonly Fact[];
  charts: readonly Chart[];
  /** Shown as it is. */
  config: string;
}

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escape = (text: string): string => text.replace(/[&<>]/g, (c) => escapes[c] ?? c);

const require = createRequire(import.meta.url);
/** Of a script or style: text that cannot end its element, and names no file beside it. */
const asset = (path: string): string =>
  readFileSync(path, "utf8")
    .replaceAll("</script", "<\\/script")
    .replace(/^\/\/# sourceMappingURL=.*$/m, "");

const style = `
:root { color-scheme: light dark; --ink: #222; --grid: #8883; font: 15px/1.5 system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; } }
body { max-width: 1180px; margin: 2em auto; padding: 0 1em; color: var(--ink); }
h1 { font-size: 1.3em; overflow-wrap: anywhere; }
th { text-align: left; font-weight: 600; padding-right: 1.5em; vertical-align: top; white-space: nowrap; }
td { overflow-wrap: anywhere; }
#charts { display: flex; flex-wrap: wrap; gap: 1em; margin: 1.5em 0; }
pre { overflow-x: auto; }
`;

export function pageOf({ title, facts, charts, config }: Page): string {
  const rows = facts.map(
    ([name, value]) => `<tr><th>${escape(name)}</th><td>${escape(value)}</td></tr>`,
  );
  const draw = asset(fileURLToPath(new URL("draw.js", import.meta.url)));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)}</title>
<style>${asset(require.resolve("uplot/dist/uPlot.min.css"))}${style}</style>
</head>
<body>
<h1>${escape(title)}</h1>
<table>
${rows.join("\n")}
</table>
<div id="charts"></div>
<details><summary>config.json</summary>
<pre>${escape(config)}</pre>
</details>
<script type="application/json" id="data">${JSON.stringify(charts).replaceAll("<", "\\u003c")}</script>
<script>${asset(require.resolve("uplot/dist/uPlot.iife.min.js"))}</script>
<script type="module">
${draw.trim()}
</script>
</body>
</html>
`;
}
