import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Keyring, type KeyringData, type KeyState, openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { KEYS, ORIGINAL, originalMaterial, V2 } from '../crypto/vectors.ts'

/** All v2 keys of the vectors, and one of the original secrets, in one keyring. */
export function vectorKeyring(originalSecret = 0, states: Readonly<Record<string, KeyState>> = {}): KeyringData {
  const created = '2026-01-31T12:00:00Z'
  const secret = ORIGINAL[originalSecret]?.secret
  if (!secret) throw new Error('no such secret')
  const materials = [
    ...KEYS.filter((k) => k.material.format === 'v2').map((k) => k.material),
    { ...originalMaterial(secret), id: 'orig' },
  ]
  const domains = [...new Set(V2.map((v) => v.domain))].map((domain) => {
    const keys = materials
      .filter((material) => material.domain === domain)
      .map((material) => ({ material, created, state: states[material.id] ?? ('active' as const) }))
    return { domain, primary: keys[0]?.material.id ?? '', keys }
  })
  return structuredClone({ domains })
}

export function open(data: KeyringData = vectorKeyring()): Keyring {
  return openKeyring(data, nobleKernel, { randomBytes })
}

/** A folder that is gone after the test. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'pseudolake-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}
