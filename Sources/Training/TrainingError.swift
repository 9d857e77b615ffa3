/// Why a run cannot start or go on, beside faults of configuration, data and checkpoints, which have their own types.
package enum TrainingError: Error, CustomStringConvertible {
  /// The loss or a gradient is NaN or infinite, after as many such steps in a row as are tolerated.
  case nonFinite(NonFiniteCause, tolerated: Int)
  /// The loss is a spike, after as many such steps in a row as are tolerated.
  case lossSpike(LossSpike, tolerated: Int)
  /// The corpus has no whole row.
  case corpusTooSmall(path: String, tokens: Int, sequenceLength: Int)
  /// A prepared corpus lacks a file.
  case missingCorpus(path: String, need: String)
  /// `--resume` names something that cannot be resumed from.
  case cannotResume(String)
  /// The run directory belongs to a run that would be overwritten.
  case runExists(path: String)
  /// What is held for each parameter is more than this process may use.
  /// The ranks are those on this node.
  case notEnoughMemory(
    parameters: Int, bytes: Int, holds: String, ranks: Int, available: Int, remedy: String?)
  /// Evaluation was asked for, and nothing was held out for it.
  case noValidation(path: String)

  package var description: String {
    switch self {
    case .nonFinite(let cause, let tolerated):
      "\(cause). "
        + (tolerated == 0
          ? "" : "So it was \(tolerated) times in a row before: training.non_finite_limit. ")
        + "The run has stopped and nothing was updated; resume from the last checkpoint with a lower learning rate, "
        + "or look at the data of this step"
    case .lossSpike(let spike, let tolerated):
      "\(spike). "
        + (tolerated == 0 ? "" : "So it was \(tolerated) times in a row before: training.loss_spike.limit. ")
        + "The run has stopped and nothing was updated; resume from an earlier checkpoint with a lower learning rate, "
        + "look at the data of this step, or raise training.loss_spike.deviations if such losses are to be expected"
    case .corpusTooSmall(let path, let tokens, let length):
      "\(path) has \(tokens) tokens, less than one row of training.sequence_length (\(length)) + 1; "
        + "use a shorter sequence or more text"
    case .missingCorpus(let path, let need):
      "\(path): no such file, but data.directory should hold \(need); make it with `hadal prepare`"
    case .cannotResume(let reason): reason
    case .runExists(let path):
      "\(path) holds checkpoints of an earlier run; go on with --resume auto, choose another run.name, "
        + "or remove the directory"
    case .notEnoughMemory(let parameters, let bytes, let holds, let ranks, let available, let remedy):
      "a model of \(parameters) parameters needs \(ProgressText.memory(bytes: bytes)) for \(holds)"
        + (ranks > 1 ? " of the \(ranks) ranks on this node" : "") + ", before any "
        + "activation; this process may use \(ProgressText.memory(bytes: available)), which is the machine's memory "
        + "or the limit of its control group. Use a smaller model" + (remedy.map { ", or \($0)" } ?? "")
    case .noValidation(let path):
      "evaluation.every is set, but \(path) has no validation.tokens: nothing was held out; prepare it with "
        + "--held-out, or set evaluation.every to null"
    }
  }
}
