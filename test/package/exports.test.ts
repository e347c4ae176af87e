/** What the command line does is a function of the package: a program need not start a process for any of it. */
import { expect, test } from 'vitest'
import { COMMANDS } from '../../cli/registry.ts'
import * as root from '../../index.ts'
import * as iceberg from '../../lib/iceberg/index.ts'
import * as stream from '../../pipelines/stream/index.ts'
import * as service from '../../service/index.ts'

const FUNCTIONS: Readonly<Record<string, readonly unknown[]>> = {
  demo: [root.datagen, service.startService, root.runBatch, root.runQuery],
  batch: [root.runBatch, root.planBatch, root.reportPage],
  stream: [stream.runStream],
  'stream positions show': [stream.showPositions],
  'stream positions reset': [stream.resetPositions],
  'quarantine list': [stream.openQuarantine],
  'quarantine open': [stream.openObject],
  'quarantine replay': [stream.replay],
  'quarantine purge': [stream.purge],
  datagen: [root.datagen],
  produce: [root.produce],
  'service start': [service.startService],
  'service shadow': [service.startShadow],
  'keys create': [service.createKeyring, service.saveKeyring],
  'keys show': [service.loadKeyring, service.summaryOf],
  'keys import': [service.importOriginal],
  'keys add': [service.addDomains],
  'keys rotate': [service.rotateKeys],
  'keys activate': [service.activateKey],
  'keys retire': [service.retireKey, service.unretireKey],
  'keys backup': [service.backUp, service.sealWithKms],
  'keys restore': [service.openBackup],
  'keys callers import': [service.importGatewayKeys, service.writeCallers],
  'keys callers grant': [service.grantReidentify],
  'keys callers show': [service.parseEntries],
  'audit verify': [service.verifyAudit],
  'audit export': [service.exportAudit],
  'config check': [root.checkConfig],
  'config explain': [root.explainConfig],
  'config schema': [root.batchSchema, stream.streamSchema],
  'config convert': [root.convertConfig],
  'table show': [root.openFolder],
  'table history': [root.openFolder],
  'table files': [iceberg.planFiles],
  'table verify': [root.verifyTable, root.checkLegacy],
  'table compact': [root.compactTable],
  'table expire': [root.expireTable],
  query: [root.runQuery],
}

test('each command has its functions among the exports', () => {
  expect(Object.keys(FUNCTIONS)).toEqual(Object.keys(COMMANDS))
  for (const [name, functions] of Object.entries(FUNCTIONS))
    for (const one of functions) expect(one, name).toBeTypeOf('function')
})
