/** The identities of a job's three sides. Pure. */
import { type AwsSettings, mergeAws } from '../lib/aws/settings.ts'
import type { BatchSettings } from './config/native.ts'

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
