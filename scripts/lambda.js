// Builds the function: `node scripts/lambda.js [FOLDER]`, by default dist-lambda. One module, chunks that are loaded where they are needed, and
// the compiled kernels beside them: all that a function of Node needs, handler `index.handler`.
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const [folder = 'dist-lambda'] = process.argv.slice(2)
const KERNELS = ['lib/core/wasm/texts.wasm', 'lib/crypto/wasm/kernel.wasm']

rmSync(folder, { recursive: true, force: true })
await build({
  entryPoints: { index: 'service/lambda-main.ts' },
  outdir: folder,
  outExtension: { '.js': '.mjs' },
  chunkNames: 'chunk-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22',
  minify: true,
  legalComments: 'none',
  conditions: ['pseudolake-source'],
  // The SDK's modules, of which only what is used goes in.
  mainFields: ['module', 'main'],
  // Packages that are not modules ask for Node's own by `require`.
  banner: {
    js: "import{createRequire as requireOfNode}from'node:module';const require=requireOfNode(import.meta.url);",
  },
  logLevel: 'warning',
})
for (const kernel of KERNELS) copyFileSync(kernel, join(folder, kernel.split('/').at(-1)))
