import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cliPage, errorsPage } from '../../scripts/docs.ts'

test('the pages made from tables in the code are up to date (npm run docs)', async () => {
  expect(readFileSync('docs/errors.md', 'utf8')).toBe(errorsPage())
  expect(readFileSync('docs/cli.md', 'utf8')).toBe(await cliPage())
})
