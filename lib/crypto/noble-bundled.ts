import { gcmsiv } from '@noble/ciphers/aes.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { OpenKernel } from './kernel.ts'
import { kernelOver } from './noble.ts'

/** The portable kernel together with its libraries, for a bundle that nothing is installed beside: to be imported where it serves, and not before. */
export const nobleKernel: OpenKernel = (material, options) => kernelOver({ gcmsiv, hmac, sha256 }, material, options)
