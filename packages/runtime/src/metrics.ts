/**
 * What code is handed for counting. A metric costs one addition when it moves; text is made only when somebody scrapes.
 * `MemoryMetrics` keeps the numbers; `prometheusText` of `@mixwright/runtime/node` renders them.
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

export interface Metrics {
  /** A number that only grows. The same name and labels give the same counter. */
  counter(name: string, help: string, labels?: Labels): Counter
  /** A number that moves both ways. With `read`, it is asked for at each scrape. */
  gauge(name: string, help: string, labels?: Labels, read?: () => number): Gauge
}

class Cell implements Counter, Gauge {
  #value = 0
  #read: (() => number) | undefined

  constructor(read?: () => number) {
    this.#read = read
  }

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

export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly samples: ReadonlyMap<string, { readonly labels: Labels; readonly cell: { readonly value: number } }>
}

/** Metrics in memory, one instance per node or directory. */
export class MemoryMetrics implements Metrics {
  readonly #families = new Map<
    string,
    { name: string; help: string; type: 'counter' | 'gauge'; samples: Map<string, { labels: Labels; cell: Cell }> }
  >()

  counter(name: string, help: string, labels: Labels = {}): Counter {
    return this.#cell('counter', name, help, labels)
  }

  gauge(name: string, help: string, labels: Labels = {}, read?: () => number): Gauge {
    return this.#cell('gauge', name, help, labels, read)
  }

  /** All families, for rendering. */
  families(): Iterable<MetricFamily> {
    return this.#families.values()
  }

  /** The value of one sample, 0 when it never moved. With no labels given: the sum over all samples of that name. */
  value(name: string, labels?: Labels): number {
    const family = this.#families.get(name)
    if (!family) return 0
    if (labels) return family.samples.get(keyOf(labels))?.cell.value ?? 0
    let sum = 0
    for (const { cell } of family.samples.values()) sum += cell.value
    return sum
  }

  #cell(type: 'counter' | 'gauge', name: string, help: string, labels: Labels, read?: () => number): Cell {
    let family = this.#families.get(name)
    if (!family) {
      family = { name, help, type, samples: new Map() }
      this.#families.set(name, family)
    }
    const key = keyOf(labels)
    let sample = family.samples.get(key)
    if (!sample) {
      sample = { labels, cell: new Cell(read) }
      family.samples.set(key, sample)
    } else if (read) sample.cell.rebind(read)
    return sample.cell
  }
}

function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}
