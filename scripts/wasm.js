// Compiles the WebAssembly modules out of their AssemblyScript sources: `node scripts/wasm.js FOLDER`, where FOLDER is the checkout or its
// `dist`. Plain JavaScript: npm runs it on the host's Node, before the project's own is used.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const MODULES = [
  ['lib/core/wasm', 'texts.wasm'],
  ['lib/crypto/wasm', 'kernel.wasm'],
  ['lib/crypto/cache/wasm', 'cache.wasm'],
  ['lib/parquet/wasm', 'pages.wasm'],
  ['pipelines/batch/gate/wasm', 'judge.wasm'],
]

for (const [folder, name] of MODULES) {
  const assembly = join(folder, 'assembly')
  const { status, error } = spawnSync(
    'asc',
    [
      join(assembly, 'index.ts'),
      '--config',
      join(assembly, 'asconfig.json'),
      '--outFile',
      join(process.argv[2] ?? '.', folder, name),
    ],
    { stdio: 'inherit', shell: process.platform === 'win32' },
  )
  if (status !== 0) {
    if (error) process.stderr.write(`${error.message}\n`)
    process.exit(status ?? 1)
  }
}
