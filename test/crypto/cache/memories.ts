import { onTestFinished } from 'vitest'

/** The memories of all WebAssembly that is instantiated from now on, but for that of Node's own client, to look for what lies there. */
export function watchMemories(): { holds(text: string | Uint8Array): number } {
  const memories: WebAssembly.Memory[] = []
  const own = WebAssembly.Instance
  WebAssembly.Instance = class extends own {
    constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
      super(module, imports)
      const { memory, llhttp_alloc: ofNode } = this.exports
      if (memory instanceof WebAssembly.Memory && !ofNode) memories.push(memory)
    }
  }
  onTestFinished(() => {
    WebAssembly.Instance = own
  })
  return {
    holds(text) {
      let found = 0
      for (const { buffer } of memories) {
        const all = Buffer.from(buffer)
        for (let at = all.indexOf(text); at >= 0; at = all.indexOf(text, at + 1)) found++
      }
      return found
    },
  }
}
