/**
 * Works on some items at a time and returns the results in the items' order. When one fails no further one is begun, `stop` is called, and
 * what is under way is waited for: nothing goes on behind a failure's back.
 * @throws the first failure
 */
export async function inOrder<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
  stop: () => void = () => {},
): Promise<R[]> {
  const results = new Array<R>(items.length)
  let next = 0
  let failure: { readonly error: unknown } | undefined
  async function lane(): Promise<void> {
    while (!failure && next < items.length) {
      const index = next++
      try {
        results[index] = await work(items[index] as T, index)
      } catch (error) {
        if (failure) return
        failure = { error }
        stop()
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane))
  // Assigned in the lanes, which the compiler does not see.
  const failed = failure as { readonly error: unknown } | undefined
  if (failed) throw failed.error
  return results
}
