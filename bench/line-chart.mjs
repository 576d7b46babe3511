// Line charts as plain SVG, side by side under one legend.

// Okabe and Ito's: told apart by the colour-blind.
const colours = ["#000000", "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
/** Of a line: colours, and once more as dashes. */
const stroke = (index) => {
  const dashes = index < colours.length ? "" : ' stroke-dasharray="5 3"';
  return `stroke="${colours[index % colours.length]}" stroke-width="2"${dashes}`;
};
const panel = { width: 420, height: 300, left: 52, right: 12, top: 28, bottom: 40 };
const legendRow = 18;

const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
const round = (x) => Number(x.toFixed(2));
function text(x, y, content, anchor = "middle") {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${escape(content)}</text>`;
}

/** Round values that cover a range, about five of them. */
export function ticks(low, high) {
  const span = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 5));
  const step = [1, 2, 5, 10].map((k) => k * power).find((step) => span / step <= 6);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  // Multiples of a power of ten, without the noise of their products.
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(6)),
  );
}

/** One chart; `series`: [{ name, points: [[x, y], ...] }]. */
function drawPanel({ title, xLabel, series }, offset) {
  const all = series.flatMap(({ points }) => points);
  const range = (axis) => {
    const values = all.map((point) => point[axis]);
    return ticks(Math.min(...values), Math.max(...values));
  };
  const [xs, ys] = [range(0), range(1)];
  const { width, height, left, right, top, bottom } = panel;
  const share = (value, ticks) => (value - ticks[0]) / (ticks.at(-1) - ticks[0]);
  const x = (value) => offset + left + share(value, xs) * (width - left - right);
  const y = (value) => height - bottom - share(value, ys) * (height - top - bottom);
  const grid = ys.map((at) => {
    const line = `<path d="M${x(xs[0])} ${round(y(at))}H${x(xs.at(-1))}" stroke="#ddd"/>`;
    return line + text(x(xs[0]) - 6, y(at) + 4, at, "end");
  });
  const axis = xs.map((at) => text(x(at), height - bottom + 16, at));
  const lines = series.map(({ points }, index) => {
    const path = points.map((point) => `${round(x(point[0]))} ${round(y(point[1]))}`).join("L");
    return `<path d="M${path}" fill="none" ${stroke(index)}/>`;
  });
  const middle = offset + (left + width - right) / 2;
  const labels = [text(middle, top - 10, title), text(middle, height - 6, xLabel)];
  return [...grid, ...axis, ...labels, ...lines];
}

/** Charts of the same series. */
export function lineCharts(charts) {
  const names = charts[0].series.map(({ name }) => name);
  const width = charts.length * panel.width;
  const columns = charts.length * 2;
  const height = panel.height + legendRow * (Math.ceil(names.length / columns) + 1);
  const legend = names.map((name, index) => {
    const left = panel.left + (index % columns) * ((width - panel.left) / columns);
    const top = panel.height + legendRow * (Math.floor(index / columns) + 1);
    const line = `<path d="M${left} ${top - 4}h18" ${stroke(index)}/>`;
    return line + text(left + 24, top, name, "start");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...charts.flatMap((chart, index) => drawPanel(chart, index * panel.width)),
    ...legend,
    "</svg>\n",
  ].join("\n");
}
