/** The identities of a job's three sides, and the clients that act as them. */
import type { Aws } from '../lib/aws/clients.ts'
import { type AwsSettings, mergeAws } from '../lib/aws/settings.ts'
import type { Clock } from '../lib/core/clock.ts'
import type { BatchSettings } from './config/native.ts'

export interface PlacesOutside {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly uuid: () => string
  /** Aborted when the run is told to stop: nobody is asked again for long then. @default never */
  readonly signal?: AbortSignal | undefined
  /** Made when the first bucket or catalog is asked; whoever gives it closes it. */
  readonly aws: () => Promise<Aws>
}

/** AWS's clients, loaded by whoever asks for them first, and the end of those that were. */
export function lazyAws(env: PlacesOutside['env']): { readonly aws: () => Promise<Aws>; close(): Promise<void> } {
  let opened: Promise<Aws> | undefined
  return {
    aws() {
      opened ??= import('../lib/aws/clients.ts').then(({ openAws }) => openAws({ env }))
      return opened
    },
    async close() {
      await (await opened?.catch(() => undefined))?.close()
    },
  }
}

export type Side = 'input' | 'output' | 'service'

/** What a side's `aws` section says, over the job's own. A role's session is named after the job where nobody names it. */
export function awsOf(settings: Pick<BatchSettings, 'job' | 'aws' | Side>, side: Side): AwsSettings {
  const merged = mergeAws(sectionOf(settings.aws), sectionOf(settings[side].aws))
  if (merged.roleArn === undefined || merged.sessionName !== undefined) return merged
  return { ...merged, sessionName: `pseudolake-${settings.job}`.slice(0, 64) }
}

function sectionOf(section: BatchSettings['aws']): AwsSettings {
  if (section === undefined) return {}
  const { region, role_arn: roleArn, external_id: externalId, session_name: sessionName, endpoints } = section
  return { region, roleArn, externalId, sessionName, endpoints }
}
