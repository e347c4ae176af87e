/** Ages and times as options take them. Pure. */
import { PseudolakeError } from '../lib/core/errors.ts'

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 24 * 3_600_000 }

/** Milliseconds, from `90s`, `30m`, `12h`, `7d`. @throws PseudolakeError `options/invalid` */
export function durationOf(option: string, text: string): number {
  const ms = durationIn(text)
  if (ms !== undefined) return ms
  throw new PseudolakeError('options/invalid', `${option}: expected an age such as 7d, 12h or 30m`, { option })
}

/**
 * Milliseconds since 1970, from an age before `now` or from a date or a time. Without a zone a time means another moment on every machine.
 * @throws PseudolakeError `options/invalid`
 */
export function timeOf(option: string, text: string, now: number): number {
  const age = durationIn(text)
  if (age !== undefined) return now - age
  const time = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new PseudolakeError(
    'options/invalid',
    `${option}: expected an age such as 7d or 12h, a date, or a time with its zone such as 2026-01-31T00:00:00Z`,
    { option },
  )
}

function durationIn(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([smhd])$/i.exec(text.trim()) ?? []
  return unit === undefined ? undefined : Number(number) * (UNIT_MS[unit.toLowerCase()] as number)
}

const UNIT_BYTES: Readonly<Record<string, number>> = { b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30 }

/** Bytes, from `128MB`; 1 KB = 1,024 bytes. @throws PseudolakeError `options/invalid` */
export function sizeOf(option: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([kmg]?i?b)$/i.exec(text.trim()) ?? []
  const bytes =
    unit === undefined ? 0 : Math.round(Number(number) * (UNIT_BYTES[unit.toLowerCase().replace('i', '')] as number))
  if (bytes >= 1) return bytes
  throw new PseudolakeError('options/invalid', `${option}: expected a size such as 128MB`, { option })
}
