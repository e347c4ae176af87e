import { randomUUID } from 'node:crypto'

/** Sorts by time; the random part keeps runs of one second apart. */
export function runId(wallMs: number): string {
  const time = new Date(wallMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  return `${time}-${randomUUID().slice(0, 8)}`
}
