import type { Column } from './text.ts'

/** RFC 4180 with LF line ends, as the reference writes it; digits and timestamps need no quotes. */
export function csvHeader(names: readonly string[]): Uint8Array {
  return Buffer.from(`${names.join(',')}\n`, 'latin1')
}

/** Lines of the columns' first `rows` values. */
export function csvLines(columns: readonly Column[], rows: number): Uint8Array {
  let size = 0
  for (const { text, values } of columns) for (let i = 0; i < rows; i++) size += text.length(values[i] as number) + 1
  const out = new Uint8Array(size)
  let at = 0
  for (let i = 0; i < rows; i++) {
    for (const { text, values } of columns) {
      at = text.write(values[i] as number, out, at)
      out[at++] = 0x2c
    }
    out[at - 1] = 0x0a
  }
  return out
}
