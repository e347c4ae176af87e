import { planFiles } from '../../lib/iceberg/scan.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Progress } from './ledger.ts'
import type { Target } from './target.ts'

/** Which of some files the table's current snapshot holds, or the job's ledger says that it published. */
export async function publishedFiles(
  storage: Storage,
  target: Target,
  progress: Progress,
  files: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  for await (const name of progress.publishedNames()) {
    const path = `${target.files}/${name}`
    if (files.has(path)) found.add(path)
  }
  if (target.metadata)
    for await (const { file } of planFiles(storage, target.metadata)) if (files.has(file.path)) found.add(file.path)
  return found
}
