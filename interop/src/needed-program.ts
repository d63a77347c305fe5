/** Programs that a test needs and npm does not bring: where one is missing, its tests are skipped, and fail in CI. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Path of a program on the path, undefined when it is not there. */
export function findProgram(name: string): string | undefined {
  const directories = (process.env.PATH ?? '').split(delimiter)
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path))
}

/** For the `skip` option of a test: why it is skipped, or false. In CI nothing is: there the test says what is missing. */
export function skipWithout(what: string, path: string | undefined): string | false {
  const there = path !== undefined && existsSync(path)
  return there || process.env.CI === 'true' ? false : `${what} is not on this machine`
}
