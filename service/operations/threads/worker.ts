/** A worker thread starts here. It does not inherit the compile cache, and what is imported statically would be compiled before this. */
import { enableCompileCache } from 'node:module'

enableCompileCache()
await import('./serve.ts')
