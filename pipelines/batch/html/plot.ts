/**
 * Pictures for the report, as SVG text that follows the page's colours. Loaded when a report is made: drawing needs a tenth of a second
 * to load, and most runs draw nothing.
 */
export interface Bar {
  readonly name: string
  readonly value: number
  /** Stands at the bar's end. */
  readonly said: string
}

export interface Point {
  readonly x: number
  readonly y: number
}

/** What we use of @observablehq/plot and linkedom: their own declarations do not stand `exactOptionalPropertyTypes`. */
interface Plot {
  plot(options: object): { readonly outerHTML: string }
  barX(data: readonly object[], options: object): unknown
  text(data: readonly object[], options: object): unknown
  lineY(data: readonly object[], options: object): unknown
  areaY(data: readonly object[], options: object): unknown
  ruleX(data: readonly number[], options?: object): unknown
  ruleY(data: readonly number[], options?: object): unknown
  dot(data: readonly object[], options: object): unknown
}
interface Dom {
  parseHTML(html: string): { readonly document: object }
}
const PLOT: string = '@observablehq/plot'
const DOM: string = 'linkedom'

export interface Pictures {
  /** Bars with names to the left and what they say to the right. */
  bars(data: readonly Bar[], about: { readonly unit: string }): string
  /** A line over time from 0; `stepped` where a value holds for the whole time since the point before. */
  line(data: readonly Point[], about: { readonly x: string; readonly y: string; readonly stepped?: boolean }): string
}

const WIDTH = 500

export async function pictures(): Promise<Pictures> {
  const plot = (await import(PLOT)) as Plot
  const { parseHTML } = (await import(DOM)) as Dom
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  let drawn = 0
  const draw = (options: object): string =>
    // A class of its own for each: the library derives one from what it drew, so two empty pictures would share styles by chance.
    plot.plot({
      document,
      width: WIDTH,
      className: `plot-${++drawn}`,
      style: { background: 'none', fontSize: '12px' },
      ...options,
    }).outerHTML

  return {
    bars: (data, { unit }) =>
      draw({
        height: 44 + 28 * data.length,
        marginLeft: 120,
        marginRight: 80,
        marginTop: 4,
        x: { label: unit, nice: true, ticks: 5, grid: true },
        y: { label: null, domain: data.map(({ name }) => name), padding: 0.35, tickSize: 0 },
        marks: [
          plot.barX(data, { x: 'value', y: 'name', fill: 'var(--mark)' }),
          plot.text(data, { x: 'value', y: 'name', text: 'said', textAnchor: 'start', dx: 6, fill: 'currentColor' }),
          plot.ruleX([0], { stroke: 'currentColor' }),
        ],
      }),
    line: (data, { x, y, stepped = false }) =>
      draw({
        height: 220,
        marginLeft: 64,
        marginRight: 24,
        marginTop: 30,
        marginBottom: 38,
        x: { label: x, ticks: 6, domain: [0, Math.max(...data.map((point) => point.x), 1e-9)] },
        y: {
          label: y,
          ticks: 5,
          grid: true,
          nice: true,
          tickFormat: 's',
          domain: [0, Math.max(...data.map((point) => point.y), 1)],
        },
        marks: [
          plot.areaY(data, {
            x: 'x',
            y: 'y',
            fill: 'var(--mark)',
            fillOpacity: 0.15,
            curve: stepped ? 'step-before' : 'linear',
          }),
          plot.lineY(data, {
            x: 'x',
            y: 'y',
            stroke: 'var(--mark)',
            strokeWidth: 2,
            curve: stepped ? 'step-before' : 'linear',
          }),
          plot.ruleY([0], { stroke: 'currentColor' }),
        ],
      }),
  }
}
