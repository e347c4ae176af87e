/** Names as Spark makes them; in the order of their numbers, as a store lists them. */
export function keyOf(i: number): string {
  return `in/part-${String(i).padStart(8, '0')}-7c9e6679-7425-40de-944b-e07fc1f90ae7.c000.snappy.parquet`
}
