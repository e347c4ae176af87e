import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type ReportFailure, reportPage } from '../../../pipelines/batch/html/page.ts'
import { shippedPrices } from '../../../pipelines/batch/plan/prices.ts'
import type { BatchReport } from '../../../pipelines/batch/report.ts'
import { type Lake, lake } from '../../helpers/lake.ts'

const VIN = { vin: { mode: 'deterministic' } }

async function inputs(home: Lake, files: Record<string, string>): Promise<void> {
  for (const [name, select] of Object.entries(files)) {
    const path = join(home.dir, 'in', name)
    mkdirSync(join(path, '..'), { recursive: true })
    await home.sql(`copy (${select}) to '${path}' (format parquet)`)
  }
}

async function ran(select = `select 'VIN' || i as vin, i as n from range(500) r(i)`): Promise<[Lake, BatchReport]> {
  const home = await lake()
  await inputs(home, { 'a.parquet': select })
  return [home, await home.run({ columns: VIN }, { plan: shippedPrices() })]
}

const FAILURE: ReportFailure = {
  code: 'service/unavailable',
  message: 'nobody there',
  outcome: 'partly-published',
  hint: 'Run again.',
  retryable: true,
}

test('the page fetches nothing and runs nothing', async () => {
  const [, report] = await ran()
  const page = await reportPage(report)
  expect(page).not.toMatch(/https?:\/\/|src\s*=|href\s*=|url\(|@import|<script|<link|<iframe|<object|<img|\son\w+\s*=/i)
  expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`)
})

test('the page says what ran, with which key and settings, and what came of it', async () => {
  const [, report] = await ran()
  const page = text(await reportPage(report))
  const key = report.columns.find(({ column }) => column === 'vin')?.key ?? 'none'
  expect(key).toMatch(/^[a-z0-9]{4}$/)
  for (const said of [
    report.job,
    report.run_id,
    report.version,
    report.config_digest,
    report.location,
    ...report.snapshots,
    key,
    's_vin',
    'replaced, deterministic',
    'counted exactly',
    'Gate',
    'Rows published 500',
    'Requests 2',
  ])
    expect(page).toContain(said)
  expect(report.snapshots).toEqual([report.snapshot_id])
})

test('every picture has its words, every table its headers', async () => {
  const [, report] = await ran()
  const page = await reportPage(report)
  const pictures = page.match(/<svg/g) ?? []
  expect(pictures.length).toBeGreaterThan(1)
  expect(page.match(/<figure role="img" aria-label="[^"]+"/g)).toHaveLength(pictures.length)
  const headers = page.match(/<th(\s[^>]*)?>/g) ?? []
  expect(headers.length).toBeGreaterThan(10)
  for (const header of headers) expect(header).toMatch(/scope="(row|col)"/)
  expect(page).toMatch(/<html lang="en">/)
  expect(page).toMatch(/<title>[^<]+<\/title>/)
})

test('names that are markup are shown as they are, and never become any', async () => {
  const evil = `<script>alert(1)</script>`
  const quote = `x" onload="y`
  const [, report] = await ran(
    `select 'VIN' || i as vin, i as "${evil}", i as "${quote.replaceAll('"', '""')}" from range(50) r(i)`,
  )
  expect(report.columns.map(({ column }) => column)).toEqual(['vin', evil, quote])
  const page = await reportPage(report, { ...FAILURE, message: `column ${evil}`, hint: `<b>&amp;` })
  expect(page).not.toContain('<script')
  expect(page).not.toMatch(/<b>/)
  expect(page).not.toMatch(/<[^>]+\sonload="/)
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
  expect(page).toContain('&lt;b&gt;&amp;amp;')
})

test('marks that turn text around and controls are made visible', async () => {
  const [, report] = await ran()
  const page = await reportPage({ ...report, notes: ['a\u202eb\u0007c'] })
  expect(page).toContain('a\ufffdb\ufffdc')
})

test('a value that names a folder is in neither the document nor the page', async () => {
  const home = await lake()
  await inputs(home, { 'vin=SECRET%20ONE/year=2024/a.parquet': 'select 1 as n' })
  const report = await home.run({ columns: VIN })
  expect(JSON.stringify(report)).not.toContain('SECRET')
  expect(report.published[0]?.input).toMatch(/\/vin=…\/year=2024\/a\.parquet$/)
  const message = `${home.dir}/in/vin=SECRET%20ONE/year=2024/a.parquet is corrupt`
  const page = await reportPage(report, { ...FAILURE, message })
  expect(page).not.toContain('SECRET')
  // Before columns are known, no folder's value is shown.
  expect(await reportPage({ ...report, columns: [] }, { ...FAILURE, message })).not.toMatch(
    /SECRET|year=2024\/a.parquet is/,
  )
})

test('a run that failed, and one that had nothing to do, have their page', async () => {
  const [home, report] = await ran()
  const nothing = await home.run({ columns: VIN })
  const idle = text(await reportPage(nothing))
  expect(idle).toContain('nothing to do')
  expect(idle).not.toMatch(/NaN|Infinity|undefined/)
  const failed = text(await reportPage({ ...nothing, phases: [], moments: [] }, FAILURE))
  expect(failed).toContain('failed')
  expect(failed).toContain('service/unavailable nobody there')
  expect(failed).toContain('It is safe to run again.')
  expect(failed).not.toMatch(/NaN|Infinity|undefined/)
  expect(text(await reportPage(report))).not.toMatch(/NaN|Infinity|undefined/)
})

test('a failing run tells what it had done until then', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select 'V1' as vin`, 'b.parquet': `select 'V2' as vin` })
  const stop = new AbortController()
  const told: BatchReport[] = []
  await expect(
    home.run(
      { columns: VIN, set: ['commit.max_files=1'] },
      {},
      {
        signal: stop.signal,
        onEvent: (event) => {
          if (event.type === 'committed') stop.abort()
          if (event.type === 'failed') told.push(event.report)
        },
      },
    ),
  ).rejects.toMatchObject({ code: 'run/interrupted' })
  expect(told).toMatchObject([{ rows: 1, files: 1, commits: 1, snapshots: [expect.any(String)] }])
})

test('what the gate found wrong is on the page', async () => {
  const [, report] = await ran()
  const [first, ...rest] = report.gate.checks
  const finding = { location: '/lake/data/x.parquet', column: '<i>vin</i>', row_group: 3, message: 'a row is lost' }
  const failed = { ...(first as NonNullable<typeof first>), passed: false, failed: 1, findings: [finding] }
  const page = await reportPage({
    ...report,
    status: 'gate-failed',
    gate: { passed: false, checks: [failed, ...rest] },
  })
  expect(page).not.toContain('<i>')
  expect(text(page)).toContain('a row is lost /lake/data/x.parquet , column &lt;i&gt;vin&lt;/i&gt;, row group 3')
})

/** What a reader sees. */
function text(page: string): string {
  return page
    .slice(page.indexOf('<body'))
    .replaceAll(/<style>.*?<\/style>/gs, '')
    .replaceAll(/<[^>]+>/g, ' ')
    .replaceAll(/\s+/g, ' ')
}

test('on paper every page says which run it is of, and nothing of a name gets out of its quotes', async () => {
  const [, report] = await ran()
  const ordinary = await reportPage(report)
  expect(ordinary).toContain(`@bottom-left { content: "test, run ${report.run_id}"; `)
  const page = await reportPage({ ...report, job: 'a"; } </style><b>\\' })
  expect(page).toContain('@bottom-left { content: "a  styleb, run ')
  expect(page.match(/<\/style>/g)?.length).toBe(ordinary.match(/<\/style>/g)?.length)
})

test('what is to be typed stands out, and shows no folder that is named by a value', async () => {
  const [, report] = await ran()
  const hint = `Use the old key, or: pseudolake batch --config f --set input.path=/in/vin=PLANTED/ --allow-key-change`
  const page = await reportPage({ ...report, columns: report.columns.slice(0, 1) }, { ...FAILURE, hint })
  expect(text(page)).toContain(
    'What to do: Use the old key, or: pseudolake batch --config f --set input.path=/in/vin=…/ --allow',
  )
  expect(page).toMatch(/<code>pseudolake batch <span class="key">--config<\/span> f /)
  expect(page).not.toContain('PLANTED')
})
