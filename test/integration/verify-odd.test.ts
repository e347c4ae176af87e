/** Verification against every table that the odd inputs give, and against what PyIceberg appends to one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { openTable } from '../../lib/iceberg/open.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { pyiceberg, testWith } from '../helpers/interop.ts'
import { ODD, oddTables } from '../helpers/odd.ts'

testWith('pyiceberg', 'tables of every type, encoding, codec and nesting verify clean to their last page', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-verify-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const odd = await oddTables(dir)
  const storage = localStorage()
  const verify = async (name: string, full: boolean) =>
    verifyTable(await openTable(storage, odd.location(name)), { storage, full, now: Date.now() })
  for (const name of odd.rows.keys()) {
    const { findings, replaced_columns: replaced } = await verify(name, true)
    expect(findings, name).toEqual([])
    expect(replaced.length, name).toBeGreaterThan(0)
  }

  await pyiceberg(
    `${ODD}
table = iceberg_writable(args['location'])
table.append(pa.table({'id': pa.array([2000, 2001], pa.int32()), 's_vin': pa.array([None, args['pseudonym']], pa.string()), 'word': ['a', 'b']}))
result = None`,
    { location: odd.location('flat'), pseudonym: await odd.pseudonym('one of theirs') },
  )
  for (const full of [false, true]) expect((await verify('flat', full)).findings).toEqual([])
})
