/**
 * What code is handed for counting. A metric costs one or two additions when it moves; text is made only when somebody
 * scrapes. `MemoryMetrics` keeps the numbers; `prometheusText` of `@mixwright/runtime/node` renders them.
 */

export type Labels = Readonly<Record<string, string>>

export interface Counter {
  readonly value: number
  increment(by?: number): void
}

export interface Gauge {
  readonly value: number
  set(value: number): void
}

export interface Histogram {
  /** Observations so far. */
  readonly count: number
  /** Their sum. */
  readonly sum: number
  observe(value: number): void
}

export interface Metrics {
  /** A number that only grows. The same name and labels give the same counter. */
  counter(name: string, help: string, labels?: Labels): Counter
  /** A number that moves both ways. With `read`, it is asked for at each scrape. */
  gauge(name: string, help: string, labels?: Labels, read?: () => number): Gauge
  /**
   * How often a quantity fell into each of some buckets. `bounds` are their upper ends (inclusive, ascending); one more
   * bucket takes what is above the last. Those of the first caller hold.
   */
  histogram(name: string, help: string, bounds: readonly number[], labels?: Labels): Histogram
}

class Cell implements Counter, Gauge {
  #value = 0
  #read: (() => number) | undefined

  get value(): number {
    return this.#read ? this.#read() : this.#value
  }

  increment(by = 1): void {
    this.#value += by
  }

  set(value: number): void {
    this.#value = value
  }

  /** A later owner of the same gauge (a restarted part) takes over its reading. */
  rebind(read: () => number): void {
    this.#read = read
  }
}

class Buckets implements Histogram {
  readonly bounds: readonly number[]
  /** Observations by bucket; the last is for what is above all bounds. */
  readonly counts: number[]
  #sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Array<number>(bounds.length + 1).fill(0)
  }

  get count(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }

  get sum(): number {
    return this.#sum
  }

  observe(value: number): void {
    const { bounds } = this
    let low = 0
    let high = bounds.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (value <= bounds[middle]!) high = middle
      else low = middle + 1
    }
    this.counts[low]!++
    this.#sum += value
  }
}

/** A counter or a gauge, under all the labels that it was asked for with. */
export interface NumberFamily {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly samples: ReadonlyMap<string, { readonly labels: Labels; readonly cell: { readonly value: number } }>
}

export interface HistogramFamily {
  readonly name: string
  readonly help: string
  readonly type: 'histogram'
  readonly samples: ReadonlyMap<
    string,
    {
      readonly labels: Labels
      readonly cell: Histogram & { readonly bounds: readonly number[]; readonly counts: readonly number[] }
    }
  >
}

export type MetricFamily = NumberFamily | HistogramFamily

interface Family<Type, Kept> {
  readonly name: string
  readonly help: string
  readonly type: Type
  readonly samples: Map<string, { labels: Labels; cell: Kept }>
}

/** Metrics in memory, one instance per node or directory. */
export class MemoryMetrics implements Metrics {
  readonly #numbers = new Map<string, Family<'counter' | 'gauge', Cell>>()
  readonly #histograms = new Map<string, Family<'histogram', Buckets>>()

  counter(name: string, help: string, labels: Labels = {}): Counter {
    return kept(this.#numbers, 'counter', name, help, labels, () => new Cell())
  }

  gauge(name: string, help: string, labels: Labels = {}, read?: () => number): Gauge {
    const cell = kept(this.#numbers, 'gauge', name, help, labels, () => new Cell())
    if (read) cell.rebind(read)
    return cell
  }

  histogram(name: string, help: string, bounds: readonly number[], labels: Labels = {}): Histogram {
    return kept(this.#histograms, 'histogram', name, help, labels, () => new Buckets(bounds))
  }

  /** All families, for rendering. */
  *families(): Iterable<MetricFamily> {
    yield* this.#numbers.values()
    yield* this.#histograms.values()
  }

  /** The value of one counter or gauge, 0 when it never moved. With no labels given: the sum over all samples of that name. */
  value(name: string, labels?: Labels): number {
    const family = this.#numbers.get(name)
    if (!family) return 0
    if (labels) return family.samples.get(keyOf(labels))?.cell.value ?? 0
    let sum = 0
    for (const { cell } of family.samples.values()) sum += cell.value
    return sum
  }
}

/** The sample of this name and these labels, made at the first call. */
function kept<Type, Kept>(
  families: Map<string, Family<Type, Kept>>,
  type: Type,
  name: string,
  help: string,
  labels: Labels,
  make: () => Kept,
): Kept {
  let family = families.get(name)
  if (!family) {
    family = { name, help, type, samples: new Map() }
    families.set(name, family)
  }
  const key = keyOf(labels)
  let sample = family.samples.get(key)
  if (!sample) {
    sample = { labels, cell: make() }
    family.samples.set(key, sample)
  }
  return sample.cell
}

function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}
