import type { Aws } from '../lib/aws/clients.ts'
import { kmsDataKeys } from '../lib/aws/kms.ts'
import { openSecrets, type Secrets } from '../lib/aws/secrets.ts'
import { regionOfArn } from '../lib/aws/settings.ts'
import type { Clock } from '../lib/core/clock.ts'
import { unsealedText } from './keys/kms.ts'
import type { KeyringSource } from './keys/reload.ts'
import { keyringSecret } from './keys/versions.ts'

export interface KeyringInSecrets extends KeyringSource {
  /** Asks for it again, whatever is kept. @throws PseudolakeError `secret/*`, `aws/*` */
  refresh(): Promise<void>
}

export interface KeyringInSecretsOptions {
  /** Name or ARN; an ARN's region is asked. */
  readonly name: string
  readonly aws: () => Promise<Aws>
  readonly clock: Clock
  /** How long a secret is taken as it was read. */
  readonly ttlMs: number
  /** Is told why the version before can't be used, where it can't. */
  readonly say: (reason: string) => void
}

/** Secrets of the region that an ARN names, else of the environment's. */
export function secretsOf({ name, aws, clock, ttlMs }: Omit<KeyringInSecretsOptions, 'say'>): Secrets {
  const region = regionOfArn(name)
  const client = async () => (await aws()).secretsManager(region === undefined ? {} : { region })
  return openSecrets({ client, clock, ttlMs })
}

/** A keyring in Secrets Manager, also one that KMS has sealed (docs/lambda.md): kept for its time, with the version before. */
export function keyringInSecrets({ name, aws, clock, ttlMs, say }: KeyringInSecretsOptions): KeyringInSecrets {
  const secrets = secretsOf({ name, aws, clock, ttlMs })
  const source = keyringSecret({
    name,
    versions: { current: () => secrets.get(name), previous: () => secrets.previous(name) },
    unsealed: (text) => unsealedText(text, () => kmsDataKeys(async () => (await aws()).kms({}))),
    say,
  })
  return {
    read: source.read,
    async refresh() {
      await secrets.refresh(name)
    },
  }
}
