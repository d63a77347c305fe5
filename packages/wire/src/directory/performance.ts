/**
 * Performance of a node: a decimal text in [0, 1] with at most 18 fractional digits (03-directory §3.5). As a number, or
 * above 1, it makes a whole response undecodable for official clients.
 */
import { text } from './schema.js'

const PERFORMANCE = /^(0(\.\d{1,18})?|1(\.0{1,18})?)$/

/** Text of a score; clamped to [0, 1], six digits, no trailing zeros. */
export function formatPerformance(score: number): string {
  const clamped = Math.min(1, Math.max(0, Number.isNaN(score) ? 0 : score))
  return clamped.toFixed(6).replace(/\.?0+$/, '') || '0'
}

/** What clients compare with their threshold: `trunc(100 · score)`. Undefined when the text is no performance. */
export function performancePercent(value: string): number | undefined {
  if (!PERFORMANCE.test(value)) return undefined
  if (value.startsWith('1')) return 100
  return Number((value.split('.')[1] ?? '').padEnd(2, '0').slice(0, 2))
}

export const performance = text((value) => PERFORMANCE.test(value), 'a decimal text between 0 and 1')
