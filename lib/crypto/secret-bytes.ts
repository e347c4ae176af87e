/**
 * Memory for the bytes of keys, which never moves, so that wiping it wipes them. A plain `new Uint8Array(32)`, and a small `Buffer.alloc` too,
 * lies in V8's heap: the collector copies it about, and native code that asks for its buffer makes V8 copy it out and leave the first copy
 * where it was (test/service/keys-memory.test.ts finds it there).
 */
export function secretBytes(count: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(count))
}

/** A copy in such memory. Whoever has the original wipes it. */
export function secretCopy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = secretBytes(bytes.length)
  copy.set(bytes)
  return copy
}
