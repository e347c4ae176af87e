/** Rewrites one file with column `c0` protected, in a process of its own: memory-footer.test.ts looks at what it took. */
import { createHash } from 'node:crypto'
import { keepHeapSmall } from '../../lib/core/heap.ts'
import { openParquet, pathKey, planRewrite, rewrite } from '../../lib/parquet/index.ts'
import { localStorage } from '../../lib/storage/local.ts'

keepHeapSmall()
const [input = '', output = ''] = process.argv.slice(2)
const storage = localStorage()
const seconds = () => process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6
const file = await openParquet(storage, await storage.stat(input))
const opened = { mb: process.resourceUsage().maxRSS / 1024, seconds: seconds() }
let ids = 0
const treatment = { kind: 'replace', as: 's_c0', perCell: false, nullable: false } as const
const plan = planRewrite(file, new Map([[pathKey(['c0']), treatment]]), { fieldIds: () => ++ids })
const pseudonym = (text: string) => `p.${createHash('sha256').update(text).digest('base64url').slice(0, 20)}`
const written = await rewrite(plan, {
  storage,
  file,
  writer: await storage.write(output),
  replace: async (_, texts) => texts.map(pseudonym),
  createdBy: 'pseudolake version 0.0.0 (build test)',
})
const { rows, columns } = written
console.log(
  JSON.stringify({
    rows,
    columns: columns.length,
    opened,
    mb: process.resourceUsage().maxRSS / 1024,
    seconds: seconds(),
  }),
)
