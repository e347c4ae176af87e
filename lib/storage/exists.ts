import { isPseudolakeError } from '../core/errors.ts'
import type { Storage } from './storage.ts'

/** Whether there is an object at a location. */
export async function exists(storage: Storage, location: string): Promise<boolean> {
  try {
    await storage.stat(location)
    return true
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found')) return false
    throw error
  }
}
