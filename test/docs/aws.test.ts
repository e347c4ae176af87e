import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkConfig } from '../../pipelines/config/check.ts'

const PAGE = readFileSync('docs/aws.md', 'utf8')
const blocks = (language: string) =>
  [...PAGE.matchAll(/```(\w+)\n([\s\S]*?)```/g)].flatMap(([, name, text = '']) => (name === language ? [text] : []))

test('the configurations of the page are taken as they stand', () => {
  const configurations = blocks('yaml')
  expect(configurations.length).toBe(3)
  for (const source of configurations) {
    const { problems, notes } = checkConfig(source, {}, '/work')
    expect([problems, notes]).toEqual([[], []])
  }
})

test('the policies of the page are policies: JSON, with actions and resources', () => {
  const policies = blocks('json').map((text) => JSON.parse(text))
  expect(policies.length).toBe(7)
  for (const { Version, Statement } of policies) {
    expect(Version).toBe('2012-10-17')
    for (const { Effect, Action, Resource, Principal } of Statement) {
      expect(Effect).toBe('Allow')
      for (const action of [Action].flat()) expect(action).toMatch(/^[a-z0-9-]+:[A-Z][A-Za-z]+$/)
      if (Principal === undefined) for (const one of [Resource].flat()) expect(one).toMatch(/^arn:aws:[a-z0-9-]+:/)
    }
  }
})
