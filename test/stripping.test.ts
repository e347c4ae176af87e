import { globSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { expect, test } from 'vitest'

test('Node itself can run every source unbuilt: what vitest accepts is not always what Node strips', () => {
  const roots = ['cli', 'lib', 'pipelines', 'service', 'datagen', 'benchmarks', 'scripts', 'examples']
  const files = globSync(roots.map((root) => `${root}/**/*.ts`)).filter((file) => !file.includes('/wasm/assembly/'))
  const refused = files.filter((file) => {
    try {
      stripTypeScriptTypes(readFileSync(file, 'utf8'))
      return false
    } catch {
      return true
    }
  })
  expect(files.length).toBeGreaterThan(200)
  expect(refused).toEqual([])
})
