import { expect, test } from 'vitest'
import * as kernel from '../../lib/crypto/kernel.ts'
import {
  type Direction,
  MAX_IDENTIFIER_BYTES,
  readKeys,
  readQuery,
  routeOf,
  writeKeys,
  writeQuery,
} from '../../lib/wire/contract.ts'
import { PROBLEMS, readProblem, writeProblem } from '../../lib/wire/problem.ts'

test.each([
  ['/pseudonymization', 'pseudonymize'],
  ['/Dev/pseudonymization', 'pseudonymize'],
  ['/prod-2/reidentification', 'reidentify'],
  ['/health', 'health'],
  ['/Dev/metrics', 'metrics'],
  ['/pseudonymization/', undefined],
  ['/a/b/pseudonymization', undefined],
  ['//pseudonymization', undefined],
  ['/Pseudonymization', undefined],
  ['/', undefined],
  ['', undefined],
  ['/constructor', undefined],
  ['/a%2Fb/health', undefined],
])('path %s means %s', (path, route) => {
  expect(routeOf(path)).toBe(route)
})

test.each([
  ['', { deterministic: false, domain: 'default' }],
  ['?deterministic=True', { deterministic: true, domain: 'default' }],
  ['?deterministic=tRUE&domain=vehicle_1-a', { deterministic: true, domain: 'vehicle_1-a' }],
  ['?deterministic=False&key=5kl9', { deterministic: false, domain: 'default', key: '5kl9' }],
])('query %s is understood', (search, query) => {
  expect(readQuery(search, 'pseudonymize')).toEqual(query)
})

test.each([
  '?deterministic=1',
  '?deterministic=',
  '?deterministic=yes',
  '?deterministic=True&deterministic=True',
  '?determinstic=True',
  '?Deterministic=True',
  '?domain=',
  '?domain=Vehicle',
  `?domain=${'a'.repeat(65)}`,
  '?domain=a&domain=b',
  '?key=5KL9',
  '?key=',
  '?SECRET=SECRET',
])('query %s is refused without being quoted', (search) => {
  const query = readQuery(search, 'pseudonymize')
  expect(query).toHaveProperty('wrong')
  expect(JSON.stringify(query)).not.toContain('SECRET')
})

test('the way back ignores what deterministic says', () => {
  expect(readQuery('?deterministic=True&deterministic=1', 'reidentify')).toEqual({
    deterministic: false,
    domain: 'default',
  })
  expect(readQuery('?deterministic=nonsense', 'reidentify')).toEqual({ deterministic: false, domain: 'default' })
})

test('what one side writes the other reads', () => {
  for (const direction of ['pseudonymize', 'reidentify'] as Direction[])
    for (const domain of ['default', 'vehicle'])
      for (const key of [{}, { key: '0fzg' }]) {
        const query = { deterministic: direction === 'pseudonymize', domain, ...key }
        expect(readQuery(writeQuery(direction, query), direction)).toEqual(query)
      }
  expect(writeQuery('pseudonymize', { deterministic: true, domain: 'default' })).toBe('?deterministic=True')
  expect(writeQuery('reidentify', { deterministic: true, domain: 'default' })).toBe('')
  expect(readKeys(writeKeys(['5kl9', '0fzg']))).toEqual(['5kl9', '0fzg'])
  expect(readKeys('')).toEqual([])
})

test('wire and kernel agree on the longest identifier', () => {
  expect(MAX_IDENTIFIER_BYTES).toBe(kernel.MAX_IDENTIFIER_BYTES)
})

test('a problem is read back by code and index, and nothing else of it', () => {
  const problem = { code: 'pseudonym/invalid', errors: [{ index: 3, code: 'pseudonym/invalid' }] } as const
  expect(readProblem(writeProblem({ ...problem, detail: 'SECRET' }))).toEqual(problem)
  for (const body of [
    '',
    'SECRET',
    'null',
    '{"code":"SECRET-4711"}',
    '{"code":7,"errors":"SECRET"}',
    '{"errors":[{"index":"SECRET","code":"pseudonym/invalid"},{"index":1,"code":"SECRET"},null]}',
    '{"code":"constructor"}',
  ])
    expect(readProblem(body)).toEqual({})
})

test('a refused caller reads what API Gateway would say', () => {
  expect(JSON.parse(writeProblem({ code: 'request/forbidden' }))).toMatchObject({ status: 403, message: 'Forbidden' })
  expect(Object.values(PROBLEMS).every(({ status }) => status >= 400 && status < 600)).toBe(true)
})
