import { type Distribution, generate } from '../../datagen/index.ts'
import { openStorage } from '../../lib/storage/open.ts'
import type { Command } from '../command.ts'
import { progress } from '../output/progress.ts'
import { bytes, count } from '../output/text.ts'
import { absolute } from '../paths.ts'

/** Decimal, as disks and the published runs count. */
const MEGABYTE = 1_000_000

export const datagen: Command = {
  name: 'datagen',
  summary: 'Write a synthetic dataset: dept_id, vin, example_ts',
  positionals: [
    { name: 'SIZE_MB', required: false, summary: 'Size in all, in millions of bytes, within 5 %; --rows wins over it' },
  ],
  options: {
    rows: { type: 'integer', value: 'N', summary: 'Exactly so many rows' },
    files: {
      type: 'integer',
      value: 'N',
      summary: 'Files of equal size; PATH is a folder when more than one',
      default: '1',
    },
    distinct: { type: 'integer', value: 'D', summary: 'vin is drawn from 0 … D-1', default: '10000' },
    distribution: {
      type: 'string',
      value: 'NAME',
      choices: ['uniform', 'zipf', 'unique'],
      summary: 'How vin is drawn; unique: another one in every row',
      default: 'uniform',
    },
    format: {
      type: 'string',
      value: 'NAME',
      choices: ['parquet', 'csv'],
      summary: 'Format of the files',
      default: 'parquet',
    },
    seed: { type: 'integer', value: 'S', summary: 'Equal seeds and options give equal bytes', default: '1' },
    out: { type: 'string', value: 'PATH', required: true, summary: 'File or folder to write; nothing is overwritten' },
  },
  examples: [
    ['pseudolake datagen 95 --out vehicles.parquet', 'one file of about 95 MB, some 12 million rows'],
    ['pseudolake datagen 10000 --files 100 --out vehicles/', 'a hundred files of 100 MB'],
    ['pseudolake datagen --rows 1000000 --distribution unique --out unique.parquet', 'no value twice'],
  ],
  async run(args, io) {
    const started = io.clock.now()
    const size = args.positionals[0]
    const shown = progress({ clock: io.clock, quiet: io.quiet, tty: io.tty, write: io.progress })
    const options = {
      rows: args.number('rows'),
      // What is no number becomes NaN, and is refused with the other sizes that can't be.
      bytes: size === undefined ? undefined : Number(size) * MEGABYTE,
      files: args.number('files'),
      distinct: args.number('distinct'),
      distribution: args.string('distribution') as Distribution | undefined,
      format: args.string('format') as 'parquet' | 'csv' | undefined,
      seed: args.number('seed'),
    }
    const result = await generate(
      { location: absolute(io.cwd, args.string('out') as string), ...given(options) },
      {
        storage: openStorage(),
        signal: io.signal,
        onProgress: ({ rows, bytes: done, totalRows }) =>
          shown.update({
            label: 'datagen',
            done: rows,
            total: totalRows,
            detail: `${count(rows)} rows, ${bytes(done)}`,
          }),
      },
    ).finally(() => shown.end())
    const seconds = Math.round(io.clock.now() - started) / 1000
    const { rows, files, distinct } = result
    return {
      exit: 0,
      json: { ...result, seconds },
      text: `${count(rows)} rows, ${count(distinct)} distinct vin, ${bytes(result.bytes)} in ${files === 1 ? '1 file' : `${count(files)} files`}, ${seconds} s`,
    }
  },
}

type Given<O> = { [K in keyof O]?: Exclude<O[K], undefined> }

function given<O extends object>(options: O): Given<O> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<O>
}
