export { type ProduceContext, type Produced, type ProduceOptions, type ProduceResult, produce } from './produce.ts'
