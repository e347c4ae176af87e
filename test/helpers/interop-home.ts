import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where scripts/interop/install.sh puts things. */
export const HOME = process.env.INTEROP_DIR ?? join(homedir(), '.cache', 'pseudolake-interop')
/** A store that speaks S3 and keeps its conditions. */
export const VERSITYGW = join(HOME, 'bin', 'versitygw')
