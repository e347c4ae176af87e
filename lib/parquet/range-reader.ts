/** Ranges of one version of one object. */
export interface RangeReader {
  /** @returns exactly `end - start` bytes, valid until the next call */
  read(start: number, end: number): Promise<Uint8Array>
}
