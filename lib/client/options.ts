import { PseudolakeError } from '../core/errors.ts'

/** A number within bounds, or `options/invalid` with expected and got. Layers check their options where they are made. */
export function checkNumber(
  option: string,
  value: number,
  { min, max = Number.MAX_SAFE_INTEGER, integer = true }: { min: number; max?: number; integer?: boolean },
): number {
  if (typeof value === 'number' && value >= min && value <= max && (!integer || Number.isInteger(value))) return value
  const kind = integer ? 'an integer' : 'a number'
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`
  const got = typeof value === 'number' ? String(value) : typeof value
  throw new PseudolakeError('options/invalid', `${option}: expected ${kind} ${range}, got ${got}`, { option })
}
