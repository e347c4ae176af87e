/** Numbers and tables for people. Pure. */

export function count(n: number | bigint): string {
  return n.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

export function bytes(n: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = n
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`
}

/** Left-aligned columns, numbers right-aligned, cut to what a cell may show. */
export function table(
  header: readonly string[],
  rows: readonly (readonly (string | number | bigint | boolean | null)[])[],
): string {
  const cells = rows.map((row) => row.map((cell) => (cell === null ? 'NULL' : shortened(String(cell)))))
  const numeric = header.map(
    (_, i) => rows.length > 0 && rows.every((row) => row[i] === null || ['number', 'bigint'].includes(typeof row[i])),
  )
  const widths = header.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return `${[line(header), line(widths.map((width) => '─'.repeat(width))), ...cells.map(line)].join('\n')}\n`
}

const MOST = 80

function shortened(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal would obey is exactly what must go.
  const plain = text.replaceAll(/[\u0000-\u001f\u007f]/g, '·')
  return plain.length <= MOST ? plain : `${plain.slice(0, MOST - 1)}…`
}
