/**
 * How many different values many cells have, by how many some of them have: as if every cell drew from one pool, each value alike. A chunk
 * of a million cells and ten thousand values has met its whole pool, and the next chunk has nothing new; one where hardly a value
 * comes twice has met little of it. Pure.
 */

/** Values of the pool that `cells` draws with `distinct` different results come from; infinite where none came twice. */
export function poolOf(cells: number, distinct: number): number {
  if (distinct <= 0) return 0
  if (distinct >= cells) return Number.POSITIVE_INFINITY
  // The share of draws that brought something new falls from 1 to 0 as draws for each value of the pool grow.
  const share = distinct / cells
  let [few, many] = [0, 1 / share]
  for (let i = 0; i < 60; i++) {
    const middle = (few + many) / 2
    if (-Math.expm1(-middle) / middle > share) few = middle
    else many = middle
  }
  return cells / many
}

/** Chunks of one column, added up. The largest one tells of the pool; no chunk brings more than it has. */
export class Pool {
  cells = 0
  #most = 0
  #largest = { cells: 0, distinct: 0 }

  add(cells: number, distinct: number): void {
    this.cells += cells
    this.#most += distinct
    if (cells > this.#largest.cells) this.#largest = { cells, distinct }
  }

  get distinct(): number {
    const { cells, distinct } = this.#largest
    const size = poolOf(cells, distinct)
    const drawn = Number.isFinite(size) ? size * -Math.expm1(-this.cells / Math.max(size, 1)) : this.cells
    return Math.round(Math.min(this.#most, Math.max(distinct, drawn)))
  }
}
