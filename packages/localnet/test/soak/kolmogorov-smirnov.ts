/** The test of Kolmogorov and Smirnov: how far a sample is from a distribution, or from another sample, and how likely that is. */

export interface Verdict {
  /** Largest difference of the two distribution functions, 0 to 1. */
  readonly distance: number
  /** Probability of at least that distance if both are alike. */
  readonly p: number
}

/** A sample against the exponential distribution of this mean. */
export function againstExponential(sample: readonly number[], mean: number): Verdict {
  const sorted = Float64Array.from(sample).sort()
  let distance = 0
  for (const [i, value] of sorted.entries()) {
    const expected = -Math.expm1(-value / mean)
    distance = Math.max(distance, expected - i / sorted.length, (i + 1) / sorted.length - expected)
  }
  return { distance, p: probability(distance, sorted.length) }
}

/** Two samples against each other. */
export function againstEachOther(one: readonly number[], other: readonly number[]): Verdict {
  const [a, b] = [Float64Array.from(one).sort(), Float64Array.from(other).sort()]
  let [i, j, distance] = [0, 0, 0]
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i]!, b[j]!)
    while (i < a.length && a[i]! <= value) i++
    while (j < b.length && b[j]! <= value) j++
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length))
  }
  return { distance, p: probability(distance, (a.length * b.length) / (a.length + b.length)) }
}

/** Kolmogorov's limit 2 · Σ (−1)^(k−1) · e^(−2k²λ²), with Stephens' correction for samples of this effective size. */
function probability(distance: number, size: number): number {
  const lambda = (Math.sqrt(size) + 0.12 + 0.11 / Math.sqrt(size)) * distance
  let sum = 0
  for (let k = 1; k <= 100; k++) sum += 2 * (k % 2 === 1 ? 1 : -1) * Math.exp(-2 * (k * lambda) ** 2)
  return Math.min(1, Math.max(0, sum))
}
