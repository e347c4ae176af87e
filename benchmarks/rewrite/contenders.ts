/** Who rewrites the same input: what users would pick instead, with the pseudonym of each value given to them for free. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '../lib/measure.ts'
import { parquetJava, python } from './peers/install.ts'

const PEERS = join(import.meta.dirname, 'peers')

export interface Task {
  /** Of Parquet files. */
  readonly folder: string
  /** A Parquet file: vin, s_vin. */
  readonly mapping: string
  /** Nothing is there yet; a file or a folder. */
  readonly output: string
  readonly codec: string
}

export interface Contender {
  readonly name: string
  /** What its output holds in the place of `vin`: the pseudonym, nothing, null, or what was there. */
  readonly leaves: 'pseudonym' | 'nothing' | 'null' | 'original'
  /** @throws Error with the reason why it can't be had here */
  readonly command: (task: Task) => Command
}

const duckdb = (threads: number): Contender => ({
  name: `duckdb-${threads}`,
  leaves: 'pseudonym',
  command: ({ folder, mapping, output, codec }) => ({
    words: [process.execPath, join(PEERS, 'duckdb.ts'), `${folder}/*.parquet`, mapping, output, codec, String(threads)],
  }),
})

const inPython = (name: string): Contender => ({
  name,
  leaves: 'pseudonym',
  command: ({ folder, mapping, output, codec }) => ({
    words: [python(), join(PEERS, `${name}_rewrite.py`), folder, mapping, output, codec],
  }),
})

const rewriter = (mode: 'nullify' | 'prune'): Contender => ({
  name: `parquet-java-${mode}`,
  leaves: mode === 'prune' ? 'nothing' : 'null',
  command: ({ folder, output }) => ({ words: [...parquetJava(), mode, 'vin', folder, output] }),
})

export const COPY: Contender = {
  name: 'cp',
  leaves: 'original',
  command: ({ folder, output }) => ({ words: ['cp', '-r', folder, output] }),
}

export const PEERS_OF_ALL: readonly Contender[] = [
  COPY,
  duckdb(1),
  duckdb(2),
  inPython('pyarrow'),
  inPython('polars'),
  rewriter('nullify'),
  rewriter('prune'),
]

/** Parquet files at or below a place, and their bytes together. */
export function parquetFiles(place: string): { readonly files: string; readonly bytes: number } {
  if (!statSync(place).isDirectory()) return { files: place, bytes: statSync(place).size }
  const names = readdirSync(place).filter((name) => name.endsWith('.parquet'))
  return {
    files: `${place}/*.parquet`,
    bytes: names.reduce((sum, name) => sum + statSync(join(place, name)).size, 0),
  }
}
