/** What the two processes of an official client say to each other. Bytes travel as base64. */

/** Content of the client's IndexedDB: per database its version and object stores, per store its settings and entries. */
export type StoredDatabases = readonly {
  readonly name: string
  readonly version: number
  readonly stores: readonly {
    readonly name: string
    readonly keyPath: string | string[] | null
    readonly autoIncrement: boolean
    readonly entries: readonly { readonly key: IDBValidKey; readonly value: unknown }[]
  }[]
}[]

export interface ClientStart {
  readonly nymApiUrl: string
  readonly clientId: string
  readonly preferredGateway?: string
  /** `DebugWasmOverride` of the package. */
  readonly clientOverride?: Readonly<Record<string, unknown>>
  readonly storage?: StoredDatabases
}

export type Command =
  | ({ readonly kind: 'start' } & ClientStart)
  | {
      readonly kind: 'send'
      readonly id: number
      readonly to: string
      readonly message: string
      readonly replySurbs?: number
    }
  | { readonly kind: 'ping-pong'; readonly id: number; readonly messages: number }
  | { readonly kind: 'memory'; readonly id: number }
  | { readonly kind: 'export'; readonly id: number }

export type Report =
  | { readonly kind: 'started'; readonly address: string }
  | { readonly kind: 'message'; readonly message: string; readonly hasSenderTag: boolean }
  | { readonly kind: 'done'; readonly id: number; readonly result?: unknown }
  | { readonly kind: 'failed'; readonly id?: number; readonly reason: string }
