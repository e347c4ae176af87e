/** Upkeep of a table of very many files in a process of its own. Prints what was done and the peak memory. */
import { randomUUID } from 'node:crypto'
import { systemClock } from '../../lib/core/clock.ts'
import { keepHeapSmall } from '../../lib/core/heap.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { compactTable } from '../../pipelines/tables/compact.ts'
import { expireTable } from '../../pipelines/tables/expire.ts'
import { openFolder } from '../../pipelines/tables/open.ts'

keepHeapSmall()
const [what, location] = process.argv.slice(2) as ['expire' | 'compact', string]
const clock = systemClock()
const context = { clock, random: Math.random, uuid: randomUUID }
const opened = await openFolder(location, localStorage(), clock)
const report =
  what === 'expire'
    ? await expireTable(
        opened,
        { runId: 'expiry', olderThan: clock.wall() + 1000, orphansOlderThanMs: 3 * 24 * 3_600_000 },
        context,
      )
    : await compactTable(
        opened,
        { runId: 'compaction', createdBy: 'pseudolake version 0.0.0', targetBytes: 2 ** 40 },
        context,
      )
process.stdout.write(JSON.stringify({ report, peak: process.resourceUsage().maxRSS * 1024 }))
