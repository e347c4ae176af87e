/** Work that is published together: input files cut into steps by count and bytes. Pure. */

export interface StepLimits {
  readonly maxFiles: number
  readonly maxBytes: number
}

/** Cuts `items` in order; a step has at least one, and more than `maxBytes` only where one alone has. */
export function* steps<T extends { readonly object: { readonly bytes: number } }>(
  items: Iterable<T>,
  limits: StepLimits,
): Generator<T[]> {
  let step: T[] = []
  let bytes = 0
  for (const item of items) {
    if (step.length > 0 && (step.length >= limits.maxFiles || bytes + item.object.bytes > limits.maxBytes)) {
      yield step
      step = []
      bytes = 0
    }
    step.push(item)
    bytes += item.object.bytes
  }
  if (step.length > 0) yield step
}
