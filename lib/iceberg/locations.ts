import { fileURLToPath } from 'node:url'

/**
 * How locations are spelt in table metadata.
 *
 * Ours on a disk are plain absolute paths: every reader tried takes them (docs/iceberg.md), nothing in them needs escaping, and Spark's
 * Hadoop catalog writes the same, so clean-up that compares strings agrees. Others write `file:/path` and `file:///path`, unescaped, and
 * `s3a://`.
 */

/** Where Storage finds what a table's metadata names. */
export function storageLocation(named: string): string {
  const file = /^file:(?:\/\/(?:localhost)?)?(?=\/)/i.exec(named)
  if (file) return named.slice(file[0].length)
  return named.replace(/^s3[an]:\/\//i, 's3://')
}

/** The spelling for metadata of a location that a user gave: a file URL becomes the path it means; no slash at the end. */
export function tableSpelling(given: string): string {
  const plain = /^file:\/\//i.test(given) ? fileURLToPath(given) : storageLocation(given)
  return plain.replace(/(?<=[^/])\/+$/, '')
}
