/** What is large about a file must not be large in memory: chunks beyond 32 bits, thousands of columns, footers of 50 MB. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { PAGE_TEXTS } from '../helpers/parquet/endless.ts'
import { wideFile } from '../helpers/parquet/wide.ts'
import { duckdb } from '../parquet/helpers.ts'

const execute = promisify(execFile)
const duck = duckdb()
const GIB = 2 ** 30

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-memory-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function child<R>(script: string, ...options: string[]): Promise<R> {
  const { stdout } = await execute(process.execPath, [`test/regression/${script}`, ...options])
  return JSON.parse(stdout) as R
}

interface ChunkReport {
  readonly rows: number
  readonly texts: number
  readonly chunk: readonly [number, number]
  readonly equal: boolean
  readonly bytes: number
  readonly mb: number
}

describe('one column chunk of gigabytes', () => {
  test('is copied byte for byte, beyond 32 bits too', { timeout: 120_000 }, async () => {
    const report = await child<ChunkReport>('memory-chunk-run.ts', 'copy', '4.2')
    expect(report.equal).toBe(true)
    expect(report.chunk[1]).toBeGreaterThan(2 ** 32)
    expect(report.bytes).toBeGreaterThan(report.chunk[1])
    expect(report.mb).toBeLessThan(512)
  })

  test.each(['deterministic', 'random'])('is mapped page by page: %s', { timeout: 120_000 }, async (mode) => {
    const output = join(folder(), 'out.parquet')
    const report = await child<ChunkReport>('memory-chunk-run.ts', mode, '2.1', output)
    expect(report.chunk[1]).toBeGreaterThan(2 * GIB)
    expect(report.mb).toBeLessThan(512)
    const [found] = await duck.query(
      `select count(*) as rows, count(distinct vin) as different, min(vin) as least from read_parquet('${output}')`,
    )
    expect(found).toEqual({ rows: String(report.rows), different: String(PAGE_TEXTS.length), least: 'p.0' })
    expect(readFileSync(output).includes('plain-')).toBe(false)
  })

  test('is scanned page by page', { timeout: 120_000 }, async () => {
    const report = await child<ChunkReport>('memory-chunk-run.ts', 'scan', '2.1')
    expect(report.texts).toBe(report.rows)
    expect(report.mb).toBeLessThan(512)
  })
})

interface FooterReport {
  readonly rows: number
  readonly columns: number
  readonly opened: { readonly mb: number }
  readonly mb: number
}

describe('a footer', () => {
  test.each([
    ['of ten thousand columns', { rowGroups: 1, bounds: 12, least: 0.8e6, opened: 256, mb: 384 }],
    // Two hundred thousand chunks, each of which a plan and a footer tell apart.
    ['of 50 MB', { rowGroups: 20, bounds: 150, least: 50e6, opened: 512, mb: 1024 }],
  ])(
    '%s is read, planned and written anew',
    { timeout: 240_000 },
    async (_, { rowGroups, bounds, least, opened, mb }) => {
      const dir = folder()
      const [input, output] = [join(dir, 'in.parquet'), join(dir, 'out.parquet')]
      expect(wideFile(input, 10_000, rowGroups, bounds).footerBytes).toBeGreaterThan(least)
      const report = await child<FooterReport>('memory-footer-run.ts', input, output)
      expect(report).toMatchObject({ rows: rowGroups, columns: 10_000 })
      expect(report.opened.mb).toBeLessThan(opened)
      expect(report.mb).toBeLessThan(mb)
      const read = await duck.query(`select s_c0, c1, c4, c9999 from read_parquet('${output}')`)
      expect(read).toHaveLength(rowGroups)
      for (const row of read)
        expect(row).toEqual({ s_c0: expect.stringMatching(/^p\./), c1: 7, c4: 'plain-7', c9999: 'plain-7' })
    },
  )
})
