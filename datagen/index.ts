export { type DatagenContext, type DatagenOptions, type DatagenResult, generate } from './generate.ts'
export type { Distribution } from './rows.ts'
