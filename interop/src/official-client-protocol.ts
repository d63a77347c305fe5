/** What the two processes of an official client say to each other, over Node's IPC with structured cloning. */

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
  /** Name of its storage. A stored client must come back under the same one, and with `preferredGateway` (04-client §4.20). */
  readonly clientId: string
  /** Base58 identity. Without it, the package draws a gateway from the directory. */
  readonly preferredGateway?: string
  /** `DebugWasmOverride` of the package. */
  readonly clientOverride?: Readonly<Record<string, unknown>>
  /** What an earlier process of this client had stored. */
  readonly storage?: StoredDatabases
}

export interface ReceivedMessage {
  readonly message: Uint8Array
  /** Base58 of 16 bytes, when the message came with reply blocks. */
  readonly senderTag?: string
}

export interface Started {
  readonly address: string
  /** From the package's constructor to its promise being kept, milliseconds. */
  readonly connectMs: number
}

export interface PingPong {
  /** From each message's sending to its delivery. */
  readonly latenciesMs: readonly number[]
  /** When the client wrote a packet to its gateway meanwhile, cover included; any origin. */
  readonly packetTimesMs: readonly number[]
}

export type Command =
  | ({ readonly kind: 'start' } & ClientStart)
  /** A plain message; with `replySurbs`, an anonymous one. */
  | { readonly kind: 'send'; readonly to: string; readonly message: Uint8Array; readonly replySurbs?: number }
  | { readonly kind: 'reply'; readonly senderTag: string; readonly message: Uint8Array }
  | { readonly kind: 'ping-pong'; readonly messages: number; readonly bytes: number }
  /** A plain message of so many bytes to itself; milliseconds until it is back. */
  | { readonly kind: 'transfer'; readonly bytes: number }
  /** So many one-packet messages to itself, sent as fast as it takes them; milliseconds until all are back. */
  | { readonly kind: 'burst'; readonly messages: number }
  | { readonly kind: 'memory' }
  | { readonly kind: 'storage' }

/** Beside the reports of every child. */
export type MessageReport = { readonly kind: 'message' } & ReceivedMessage
