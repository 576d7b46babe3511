// The methods there are: a file, a line here and one of the table in method.cc each.
#pragma once

#include <memory>

#include "zo/method.h"

namespace zo2 {

std::unique_ptr<Method> make_mezo(const MethodOptions& options);
std::unique_ptr<Method> make_fzoo(const MethodOptions& options);
std::unique_ptr<Method> make_spsa15(const MethodOptions& options);
std::unique_ptr<Method> make_es(const MethodOptions& options);
std::unique_ptr<Method> make_meazo(const MethodOptions& options);
std::unique_ptr<Method> make_lozo(const MethodOptions& options);
std::unique_ptr<Method> make_subzero(const MethodOptions& options);
std::unique_ptr<Method> make_sparse(const MethodOptions& options);
std::unique_ptr<Method> make_adamezo(const MethodOptions& options);
std::unique_ptr<Method> make_qzo(const MethodOptions& options);

}  // namespace zo2
