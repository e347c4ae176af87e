/**
 * The pseudonymization service: started over HTTP, or embedded in a program; and the keyrings it works with (docs/service.md).
 * @module
 */

export { packTexts, type TextBatch, unpackTexts } from '../lib/core/texts.ts'
export type { RandomBytes } from '../lib/crypto/kernel.ts'
export type { DomainSummary, Keyring, KeyringData, KeyState } from '../lib/crypto/keyring.ts'
export { summaryOf, wipe } from '../lib/crypto/keyring.ts'
export type { Choices, KeyChoice, MixedBytes, MixedStrings } from '../lib/crypto/mixed.ts'
export {
  pseudonymizeMixed,
  pseudonymizeMixedBytes,
  reidentifyMixed,
  reidentifyMixedBytes,
} from '../lib/crypto/mixed.ts'
export type { LogEntry, ObservedCall } from './app.ts'
export type { Audit, AuditEntry, Head } from './audit/audit.ts'
export { type Exported, type ExportFilter, exportAudit } from './audit/export.ts'
export { type AuditReport, type ChainReport, checkAudit, verifyAudit } from './audit/verify.ts'
export { type CallerEntry, type CallersFile, parseEntries, writeCallers } from './callers/file.ts'
export { type Imported, type ImportOptions, importGatewayKeys } from './callers/gateway.ts'
export { type Grant, grantReidentify } from './callers/grant.ts'
export { type EmfOptions, emf } from './emf.ts'
export type { Emulation } from './emulator/options.ts'
export { LAMBDA } from './emulator/options.ts'
export type { AuthOptions } from './env.ts'
export { type Backup, backUp, openBackup } from './keys/backup.ts'
export { createKeyring, importOriginal } from './keys/create.ts'
export { changeKeyring, loadKeyring, saveKeyring } from './keys/file.ts'
export { type DataKeyService, sealWithKms, unsealedText } from './keys/kms.ts'
export type { Reloaded } from './keys/reload.ts'
export type { Given, Sharing } from './keys/shares.ts'
export { activateKey, addDomains, type RotateOptions, retireKey, rotateKeys, unretireKey } from './keys/states.ts'
export { createLambda, type LambdaOutside, type LambdaService } from './lambda.ts'
export type { EmbeddedAnswer, EmbeddedBytesRequest, EmbeddedRequest } from './operations/embedded.ts'
export { embeddedBytes, embeddedService } from './operations/embedded.ts'
export { kernelThreads, type Threads, type ThreadsOptions } from './operations/threads/threads.ts'
export { type KeyringInSecretsOptions, keyringInSecrets } from './secrets.ts'
export type { ShadowReport } from './shadow/report.ts'
export { type RunningShadow, type ShadowStartOptions, startShadow } from './shadow/start.ts'
export { openKeyringFile, type RunningService, type StartOptions, startService } from './start.ts'
