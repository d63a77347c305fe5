/** The official vectors of `vectors/`, parsed. */
import { readFileSync } from 'node:fs'

/** One vector file; the caller states its shape. */
export function loadVectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../vectors/${name}.json`, import.meta.url), 'utf8')) as T
}
